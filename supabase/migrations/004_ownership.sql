-- Shmastra Cloud, schema 004: which models may be called, and whose a provider's ids are.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

create table if not exists public.model_rules (
  user_id uuid unique nulls not distinct references public.users (id) on delete cascade,
  patterns text[] not null check (cardinality(patterns) between 1 and 200),
  updated_at timestamptz not null default now()
);
comment on column public.model_rules.user_id is 'null: the rule for all';

create table if not exists public.owned_ids (
  provider text not null,
  id text not null,
  user_id uuid not null references public.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (provider, id)
);
create index if not exists owned_ids_user on public.owned_ids (user_id);
create index if not exists owned_ids_expires on public.owned_ids (expires_at);

create or replace function public.notify_model_rule() returns trigger language plpgsql as $$
begin
  perform pg_notify('model_rule', coalesce(new.user_id, old.user_id)::text);
  return null;
end $$;
create or replace trigger model_rules_notify after insert or update or delete on public.model_rules
  for each row execute function public.notify_model_rule();

alter table public.model_rules enable row level security;
alter table public.owned_ids enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.model_rules, public.owned_ids from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.notify_model_rule() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
