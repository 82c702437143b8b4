"""How do networks compare on the same data, with the same budget and tuning?"""
