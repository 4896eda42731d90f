"""How iterative solvers go round by round: losses, passes over rows, steps."""
