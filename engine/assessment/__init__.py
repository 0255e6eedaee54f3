"""A class map against reference samples: figures with their errors, and a page of them."""
