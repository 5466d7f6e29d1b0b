-- Shmastra Cloud, schema 002: what a call wrote to a provider's cache, which has a price of its own.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- `cost_usd` is null where no price is known, and 0 only where a call was free, was refused or failed at its provider.
alter table public.usage_events add column if not exists cache_write_tokens integer;
