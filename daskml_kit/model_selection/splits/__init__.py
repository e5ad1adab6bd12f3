"""Which rows train and which test: folds as an integer per row, and the splitters that give them."""
