-- Shmastra Cloud, schema 012: what an OpenID provider said once and must not be believed twice.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- SHA-256 of a sign-in's state or of a logout token's id, until neither could be used any more anyway.
create table if not exists public.oidc_spent (
  hash bytea primary key,
  expires_at timestamptz not null
);
create index if not exists oidc_spent_expiry on public.oidc_spent (expires_at);
create index if not exists sessions_oidc_due on public.sessions (check_after) where source = 'oidc';

alter table public.oidc_spent enable row level security;
do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on table public.oidc_spent from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
