"""Tools that know nothing of alerts: the clock, deadlines, guarded tasks, lean imports."""
