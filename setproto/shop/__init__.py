"""The shop of a merchant: what it sells, what an order costs, what it knows of its customers, its receipts.  No I/O."""
