-- Shmastra Cloud, schema 001. Safe to paste by hand into a Supabase SQL editor and safe to run again.

create table if not exists public.schema_migrations (
  name text primary key,
  applied_at timestamptz not null default now()
);

create table if not exists public.installation (
  only_one boolean primary key default true check (only_one),
  master_key_fingerprint bytea not null,
  created_at timestamptz not null default now()
);

create table if not exists public.users (
  id uuid primary key default gen_random_uuid(),
  workos_id text unique,
  email text not null unique check (email = lower(email) and position('@' in email) > 1),
  role text not null default 'member' check (role in ('member', 'admin')),
  virtual_key bytea not null,
  virtual_key_hash bytea not null unique,
  created_at timestamptz not null default now(),
  first_sign_in_at timestamptz,
  disabled_at timestamptz
);

create table if not exists public.login_links (
  token_hash bytea primary key,
  user_id uuid not null references public.users (id) on delete cascade,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default now()
);
create index if not exists login_links_user on public.login_links (user_id);

create table if not exists public.sessions (
  token_hash bytea primary key,
  user_id uuid not null references public.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists sessions_user on public.sessions (user_id);

create table if not exists public.sandboxes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references public.users (id) on delete cascade,
  sandbox_id text unique,
  sandbox_host text,
  status text not null default 'provisioning'
    check (status in ('provisioning', 'ready', 'healing', 'broken', 'paused')),
  stage text not null default 'queued',
  attempt integer not null default 1,
  deadline timestamptz,
  lease_owner text,
  lease_until timestamptz,
  fence bigint not null default 0,
  error_message text,
  version text,
  mastra_token bytea not null,
  traffic_token bytea,
  wanted_env_version integer not null default 1,
  env_version integer not null default 0,
  reset_wanted boolean not null default false,
  engine_until timestamptz,
  awake_because text,
  awake_until timestamptz not null default now(),
  status_since timestamptz not null default now(),
  last_active_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index if not exists sandboxes_due on public.sandboxes (status, awake_until);

create table if not exists public.sandbox_events (
  id bigint generated always as identity primary key,
  sandbox uuid not null references public.sandboxes (id) on delete cascade,
  actor text not null,
  reason text not null,
  from_status text,
  to_status text not null,
  created_at timestamptz not null default now()
);
create index if not exists sandbox_events_sandbox on public.sandbox_events (sandbox, id desc);

create table if not exists public.usage_events (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  provider text not null,
  model text,
  purpose text not null default 'agent',
  input_tokens integer,
  output_tokens integer,
  cached_tokens integer,
  reasoning_tokens integer,
  status integer not null,
  duration_ms integer not null,
  first_byte_ms integer,
  ended text not null check (ended in ('complete', 'client_gone', 'cut', 'upstream_error')),
  estimated boolean not null default false,
  cost_usd numeric(14, 8),
  created_at timestamptz not null default now()
);
create index if not exists usage_events_user on public.usage_events (user_id, created_at);

create or replace view public.user_sandboxes with (security_invoker = true) as
  select u.email, s.sandbox_id, s.status, s.version, s.created_at, s.last_active_at
  from public.users u join public.sandboxes s on s.user_id = u.id;

create or replace function public.notify_sandbox() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' or new.status is distinct from old.status or new.stage is distinct from old.stage
     or new.sandbox_id is distinct from old.sandbox_id or new.error_message is distinct from old.error_message
     or new.wanted_env_version is distinct from old.wanted_env_version then
    perform pg_notify('sandbox', new.user_id::text);
  end if;
  return null;
end $$;
create or replace trigger sandboxes_notify after insert or update on public.sandboxes
  for each row execute function public.notify_sandbox();

create or replace function public.notify_user() returns trigger language plpgsql as $$
begin
  perform pg_notify('user', coalesce(new.id, old.id)::text);
  return null;
end $$;
create or replace trigger users_notify after update or delete on public.users
  for each row execute function public.notify_user();

alter table public.schema_migrations enable row level security;
alter table public.installation enable row level security;
alter table public.users enable row level security;
alter table public.login_links enable row level security;
alter table public.sessions enable row level security;
alter table public.sandboxes enable row level security;
alter table public.sandbox_events enable row level security;
alter table public.usage_events enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.schema_migrations, public.installation, public.users,'
        ' public.login_links, public.sessions, public.sandboxes, public.sandbox_events, public.usage_events,'
        ' public.user_sandboxes from %s', case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.notify_sandbox(), public.notify_user() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('alter default privileges in schema public revoke all on tables from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('alter default privileges in schema public revoke all on functions from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('alter default privileges in schema public revoke all on sequences from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
