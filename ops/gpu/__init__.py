"""Using and running the GPU endpoint: receipts, records, reports, money, policies compared."""
