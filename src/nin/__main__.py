"""How is `python -m nin` carried out, as `torchrun -m nin` starts it? As `nin` is."""

from nin.app.cli import main

main()
