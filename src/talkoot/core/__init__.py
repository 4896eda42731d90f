"""The one idea: work, encode, merge, decode, put back. Imports numpy and nothing else of ours."""
