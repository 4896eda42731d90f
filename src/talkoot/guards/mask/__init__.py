"""The secure sum: masks that cancel in the sum alone, agreed through a coordinator that may cheat.

May import core and the rest of guards; `cryptography` late. Random numbers come from `Ctx.secret` alone.
"""
