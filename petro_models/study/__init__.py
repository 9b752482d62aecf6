"""From one thin section to its history: what carries the answers of one problem into the next."""
