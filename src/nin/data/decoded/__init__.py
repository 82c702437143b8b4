"""How are photos decoded: those of a source once, to be kept, and others as they come?"""
