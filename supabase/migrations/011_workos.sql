-- Shmastra Cloud, schema 011: what signing in with WorkOS keeps. Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- When the identity provider last said that a session stands.
alter table public.sessions add column if not exists checked_at timestamptz not null default now();

-- How far WorkOS's events were read, by which process (until lease_until), and when all members were last compared.
create table if not exists public.workos_events (
  organization_id text primary key,
  after_id text,
  since timestamptz not null default now(),
  compared_at timestamptz,
  holder uuid,
  lease_until timestamptz not null default '-infinity'
);

-- What counts once: the state of a redirect, a webhook's event.
create table if not exists public.workos_used (
  name bytea primary key,
  used_at timestamptz not null default now()
);
create index if not exists workos_used_at on public.workos_used (used_at);

-- Codes by email that were asked for, and how often each was guessed at. Emails and addresses are hashes.
create table if not exists public.workos_codes (
  attempt bytea primary key,
  email bytea not null,
  address bytea not null,
  guesses integer not null default 0,
  made_at timestamptz not null default now()
);
create index if not exists workos_codes_email on public.workos_codes (email, made_at);
create index if not exists workos_codes_address on public.workos_codes (address, made_at);
create index if not exists workos_codes_made on public.workos_codes (made_at);

alter table public.workos_events enable row level security;
alter table public.workos_used enable row level security;
alter table public.workos_codes enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.workos_events, public.workos_used, public.workos_codes from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
