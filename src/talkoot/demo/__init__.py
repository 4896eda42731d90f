"""The demo: six lenders learn together on this machine."""
