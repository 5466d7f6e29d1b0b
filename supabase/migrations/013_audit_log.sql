-- Shmastra Cloud, schema 013: what admins do is written down, and what is written stays.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- A line stands by itself: it refers to nobody, so that it outlives whom it names. What takes longer than a transaction has
-- two: one when it begins, and one that tells how it ended, whose `begun` is the first one's id.
create table if not exists public.audit_log (
  id bigint generated always as identity primary key,
  created_at timestamptz not null default now(),
  action text not null,
  outcome text not null check (outcome in ('done', 'begun', 'failed')),
  begun bigint,
  actor_kind text not null check (actor_kind in ('os', 'user', 'token', 'provider')),
  actor_id text,
  actor text not null,
  token text,
  origin text not null,
  target_id text,
  target text,
  detail jsonb not null default '{}'
);
create unique index if not exists audit_log_begun on public.audit_log (begun) where begun is not null;
create index if not exists audit_log_created on public.audit_log (created_at);

create or replace function public.refuse_audit_change() returns trigger language plpgsql set search_path = '' as $$
begin
  if tg_op = 'TRUNCATE' and not exists (select from public.audit_log) then
    return null;
  end if;
  raise exception 'the audit log is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create or replace trigger audit_log_stays before update or delete on public.audit_log
  for each row execute function public.refuse_audit_change();
create or replace trigger audit_log_stays_whole before truncate on public.audit_log
  for each statement execute function public.refuse_audit_change();

alter table public.audit_log enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.audit_log from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on sequence public.audit_log_id_seq from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.refuse_audit_change() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
