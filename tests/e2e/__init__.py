"""The main job from end to end: real messages, a real rule, a real Alertmanager, a real fix."""
