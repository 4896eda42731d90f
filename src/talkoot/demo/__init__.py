"""The demo: four areas of forest learn together on this machine."""
