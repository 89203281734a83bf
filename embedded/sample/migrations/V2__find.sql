create index receipts_by_age on receipts (created_at desc, id);
create index receipts_alike on receipts using hnsw (embedding vector_cosine_ops);
