"""The buyer's electronic wallet: means of payment, purchases and their records in one locked file."""
