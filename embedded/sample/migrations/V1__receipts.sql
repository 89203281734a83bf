create extension if not exists vector;

create table receipts (
  id uuid primary key,
  merchant text not null,
  paid_on date not null,
  total_krw bigint not null check (total_krw >= 0),
  upload_key text,
  created_at timestamptz not null default now(),
  embedding vector(64) not null
);

create table items (
  receipt_id uuid not null references receipts on delete cascade,
  line integer not null,
  name text not null,
  quantity bigint not null,
  price_krw bigint not null,
  primary key (receipt_id, line)
);
