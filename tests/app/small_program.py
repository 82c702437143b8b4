"""Carry out a command line of nin on a small synthetic data set in place of Fashion-MNIST: a program for tests."""

from runs.small import blank_figures, tiny_splits

import nin.runs.run
from nin.app.cli import main
from nin.data.load import NAMED

NAMED["fashion-mnist"] = lambda on_progress: tiny_splits()
nin.runs.run.run_figures = blank_figures
main()
