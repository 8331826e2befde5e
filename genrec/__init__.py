"""GenRec: say in your own words what you like, read a recommendation written for you.

`genrec.assistant` holds the flow of a message; start reading there.
"""

__version__ = "0.1.0"
