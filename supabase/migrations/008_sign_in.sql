-- Shmastra Cloud, schema 008: users whom an identity provider knows, and sessions that belong to one of its own.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

alter table public.users add column if not exists oidc_id text;
alter table public.users add column if not exists disabled_because text;
create unique index if not exists users_oidc_id on public.users (oidc_id);

alter table public.sessions add column if not exists source text not null default 'local'
  check (source in ('local', 'workos', 'oidc'));
alter table public.sessions add column if not exists provider_session text;
alter table public.sessions add column if not exists provider_secret bytea;
alter table public.sessions add column if not exists check_after timestamptz;
alter table public.sessions add column if not exists address text;
alter table public.sessions add column if not exists agent text;
create index if not exists sessions_provider on public.sessions (source, provider_session);
create index if not exists sessions_check on public.sessions (check_after) where check_after is not null;
create index if not exists sessions_expiry on public.sessions (expires_at);
