"""How do options become a run folder and its report?"""
