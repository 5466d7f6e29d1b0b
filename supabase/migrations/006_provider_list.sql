-- Which providers can be asked beside those that every sandbox is told of. Safe to run again.

create table if not exists public.provider_list (
  told_by text primary key check (told_by in ('web', 'gateway')),
  names text[] not null
);

alter table public.provider_list enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.provider_list from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
