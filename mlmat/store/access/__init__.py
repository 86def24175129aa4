"""The file of a store: who may open it, transactions, journals, runs."""
