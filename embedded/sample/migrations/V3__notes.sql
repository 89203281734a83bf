-- Only adds, so that the release before it goes on to insert receipts.
alter table receipts add column note text not null default '';
