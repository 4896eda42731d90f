"""Who starts ranks, forms epochs of them, replaces those that die, and says whose fault a failure is.

Both sides: the coordinator in the user's process, and a rank's own process.
"""
