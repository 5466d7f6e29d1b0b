-- Shmastra Cloud, schema 010: sessions that a user can look through and end, and sign-in attempts that are counted.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

alter table public.sessions add column if not exists id uuid not null default gen_random_uuid();
alter table public.sessions add column if not exists last_used_at timestamptz not null default now();
create unique index if not exists sessions_id on public.sessions (id);
create index if not exists sessions_idle on public.sessions (last_used_at);
create index if not exists login_links_expiry on public.login_links (expires_at);

create table if not exists public.sign_in_attempts (
  address text not null,
  minute timestamptz not null,
  attempts integer not null,
  primary key (minute, address)
);
alter table public.sign_in_attempts enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.sign_in_attempts from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
