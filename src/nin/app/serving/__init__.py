"""What does `nin serve` serve?"""
