"""What does a trained network say?"""
