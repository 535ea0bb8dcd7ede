"""The Kubernetes emulator, held against recordings of a real server."""
