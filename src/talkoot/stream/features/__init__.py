"""What rows say about the rows before them: windows of time over the rows of a key.

May import core, learners and, inside functions, kernels; public names are `tk.features` and `tk.window`.
"""
