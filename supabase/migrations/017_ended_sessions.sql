-- Shmastra Cloud, schema 017: every web process hears of a session that ends, so that none remembers it.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- Sessions that have expired are told of too: whatever they let in may still be open.
create or replace function public.notify_session() returns trigger language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' or new.expires_at < old.expires_at or new.user_id <> old.user_id then
    perform pg_catalog.pg_notify('session', pg_catalog.encode(old.token_hash, 'hex'));
  end if;
  return null;
end $$;

create or replace trigger sessions_notify after update or delete on public.sessions
  for each row execute function public.notify_session();

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on function public.notify_session() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
