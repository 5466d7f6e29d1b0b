-- Shmastra Cloud, schema 009: what is ours is closed in one place, the master key can be replaced, and a migration that was
-- changed is noticed. Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- The SHA-256 of each file as it was applied; `shmastra migrate` writes it.
alter table public.schema_migrations add column if not exists sha256 bytea;

-- While the master key is replaced, secrets under the former one are still there: it is the retiring one then.
alter table public.installation add column if not exists retiring_key_fingerprint bytea;
alter table public.installation add column if not exists master_key_changed_at timestamptz;

create table if not exists public.retired_master_keys (
  fingerprint bytea primary key,
  retired_at timestamptz not null default now()
);

-- Refuses what was sealed under another master key than the present one, in the columns that the trigger names. A process that
-- has not heard of a new key is told so by this error (SHK01) instead of writing what could not be opened any more. The lock
-- lets a change of the key wait for what is being written, so that the scan after it misses nothing.
-- A ciphertext is the byte 2, the first 8 bytes of its key's fingerprint, a nonce and the sealed text; before the first change
-- of the key it may be of the form that names no key (the byte 1).
create or replace function public.check_sealed() returns trigger language plpgsql set search_path = '' as $$
declare
  place text;
  was bytea;
  sealed bytea;
  present record;
begin
  foreach place in array tg_argv loop
    execute format('select ($1).%I', place) into sealed using new;
    if tg_op = 'UPDATE' then
      execute format('select ($1).%I', place) into was using old;
    end if;
    continue when sealed is null or sealed is not distinct from was;
    select i.master_key_fingerprint, i.master_key_changed_at into present from public.installation i for share;
    continue when not found
      or (get_byte(sealed, 0) = 1 and present.master_key_changed_at is null)
      or (get_byte(sealed, 0) = 2 and substring(sealed from 2 for 8) = substring(present.master_key_fingerprint from 1 for 8));
    raise exception 'the secret for %.% is not sealed under the present master key', tg_table_name, place using errcode = 'SHK01';
  end loop;
  return new;
end $$;
create or replace trigger users_sealed before insert or update of virtual_key on public.users
  for each row execute function public.check_sealed('virtual_key');
create or replace trigger sessions_sealed before insert or update of provider_secret on public.sessions
  for each row execute function public.check_sealed('provider_secret');
create or replace trigger sandboxes_sealed before insert or update of mastra_token, traffic_token on public.sandboxes
  for each row execute function public.check_sealed('mastra_token', 'traffic_token');

-- Closes tables, views, sequences and functions of ours to everyone but their owner's side: row level security on without a
-- policy, views with the rights of who asks, all rights of PUBLIC and of Supabase's two roles revoked, also on the sequences of
-- the tables. Each migration ends with a call that names what it made. What the migrating role will make later is closed from
-- the start: only a revoke without a schema takes away the right to execute functions, which PUBLIC has by default.
create or replace function public.close_to_api_roles(variadic names text[]) returns void
language plpgsql set search_path = '' as $$
declare
  here oid := 'public'::regnamespace;
  everyone text;
  found record;
begin
  for found in select n from unnest(names) n
    where not exists (select from pg_class c where c.relnamespace = here and c.relname = n)
      and not exists (select from pg_proc p where p.pronamespace = here and p.proname = n)
  loop
    raise exception 'there is no public.% to close', found.n;
  end loop;
  select string_agg(quote_ident(r.rolname), ', ') into everyone
    from pg_roles r where r.rolname in ('anon', 'authenticated');
  everyone := concat_ws(', ', 'public', everyone);
  for found in select c.oid::regclass as name, c.relkind as kind from pg_class c
    where c.relnamespace = here and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and (c.relname = any(names) or exists (
      select from pg_depend d join pg_class t on t.oid = d.refobjid
      where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.objid = c.oid and c.relkind = 'S'
        and t.relnamespace = here and t.relname = any(names)))
  loop
    if found.kind in ('r', 'p') then
      execute format('alter table %s enable row level security', found.name);
    elsif found.kind = 'v' then
      execute format('alter view %s set (security_invoker = true)', found.name);
    end if;
    execute format('revoke all on %s %s from %s', case found.kind when 'S' then 'sequence' else 'table' end, found.name, everyone);
  end loop;
  for found in select p.oid::regprocedure as name from pg_proc p where p.pronamespace = here and p.proname = any(names) loop
    execute format('revoke all on function %s from %s', found.name, everyone);
  end loop;
  execute format('alter default privileges in schema public revoke all on tables from %s', everyone);
  execute format('alter default privileges in schema public revoke all on sequences from %s', everyone);
  execute format('alter default privileges in schema public revoke all on functions from %s', everyone);
  execute 'alter default privileges revoke all on functions from public';
end $$;

select public.close_to_api_roles(
  'schema_migrations', 'installation', 'retired_master_keys', 'users', 'login_links', 'sessions', 'sandboxes', 'sandbox_events',
  'usage_events', 'user_sandboxes', 'notify_sandbox', 'notify_user', 'budget_limits', 'budget_accounts', 'budget_slices',
  'rate_windows', 'stream_slots', 'limits_of', 'lease_budget', 'lease_rate', 'lease_streams', 'notify_budget', 'model_rules',
  'owned_ids', 'notify_model_rule', 'usage_days', 'count_usage', 'provider_list', 'check_sealed', 'close_to_api_roles');
