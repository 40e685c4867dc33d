"""Environments written out as packages that other libraries load: :mod:`.package`.

Nothing is imported here, for parts of this folder travel inside those packages.
"""
