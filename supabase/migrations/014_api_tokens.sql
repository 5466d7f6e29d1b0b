-- Shmastra Cloud, schema 014: tokens that admins' command lines elsewhere ask with, and how one is come by.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

create table if not exists public.api_tokens (
  id uuid primary key default gen_random_uuid(),
  token_hash bytea not null unique,
  user_id uuid not null references public.users (id) on delete cascade,
  name text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  last_used_from text
);
create index if not exists api_tokens_user on public.api_tokens (user_id);

-- A command line that waits for an admin's word; both of its codes are kept as hashes.
create table if not exists public.device_logins (
  device_hash bytea primary key,
  code_hash bytea not null unique,
  name text not null,
  address text not null,
  days integer not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  polled_at timestamptz,
  denied boolean not null default false,
  user_id uuid references public.users (id) on delete cascade
);
create index if not exists device_logins_address on public.device_logins (address);

-- A token is an admin's: whoever is none any more, or is shut out, has none any more, whoever took it from him.
create or replace function public.drop_api_tokens() returns trigger language plpgsql set search_path = '' as $$
begin
  delete from public.api_tokens where user_id = new.id;
  delete from public.device_logins where user_id = new.id;
  return null;
end $$;
create or replace trigger users_drop_api_tokens after update of role, disabled_at on public.users
  for each row when (new.role <> 'admin' or new.disabled_at is not null) execute function public.drop_api_tokens();

create or replace function public.notify_api_token() returns trigger language plpgsql set search_path = '' as $$
begin
  perform pg_notify('api_token', old.user_id::text);
  return null;
end $$;
create or replace trigger api_tokens_notify after delete on public.api_tokens
  for each row execute function public.notify_api_token();

alter table public.api_tokens enable row level security;
alter table public.device_logins enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.api_tokens, public.device_logins from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.drop_api_tokens(), public.notify_api_token() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
