-- Shmastra Cloud, schema 005: usage by day, so that a page about a quarter does not read every call of it.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

-- `user_id` refers to nothing, and is all zeros where the user was gone already: what a removed user cost stays counted.
-- Calls that failed are counted under no model, since a failed call may name any; 499 is one that its client left.
create table if not exists public.usage_days (
  day date not null,
  user_id uuid not null,
  provider text not null,
  model text not null,
  requests bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cost_usd numeric(18, 8) not null,
  unpriced_requests bigint not null,
  primary key (day, user_id, provider, model)
);
create index if not exists usage_days_user on public.usage_days (user_id, day);

create or replace function public.count_usage() returns trigger language plpgsql as $$
begin
  insert into public.usage_days as kept
    select (created_at at time zone 'utc')::date,
           coalesce(user_id, '00000000-0000-0000-0000-000000000000'),
           provider,
           case when status < 400 or status = 499 then coalesce(model, '') else '' end,
           count(*),
           coalesce(sum(input_tokens), 0),
           coalesce(sum(output_tokens), 0),
           coalesce(sum(cost_usd), 0),
           count(*) filter (where cost_usd is null and (status < 400 or status = 499))
    from added group by 1, 2, 3, 4 order by 1, 2, 3, 4
  on conflict (day, user_id, provider, model) do update set
    requests = kept.requests + excluded.requests,
    input_tokens = kept.input_tokens + excluded.input_tokens,
    output_tokens = kept.output_tokens + excluded.output_tokens,
    cost_usd = kept.cost_usd + excluded.cost_usd,
    unpriced_requests = kept.unpriced_requests + excluded.unpriced_requests;
  return null;
end $$;

-- What was there before the trigger was is counted once, together with its making.
do $$
begin
  if not exists (select from pg_trigger where tgname = 'usage_events_count') then
    lock table public.usage_events in share row exclusive mode;
    insert into public.usage_days
      select (created_at at time zone 'utc')::date,
             coalesce(user_id, '00000000-0000-0000-0000-000000000000'),
             provider,
             case when status < 400 or status = 499 then coalesce(model, '') else '' end,
             count(*),
             coalesce(sum(input_tokens), 0),
             coalesce(sum(output_tokens), 0),
             coalesce(sum(cost_usd), 0),
             count(*) filter (where cost_usd is null and (status < 400 or status = 499))
      from public.usage_events group by 1, 2, 3, 4
    on conflict do nothing;
    create trigger usage_events_count after insert on public.usage_events
      referencing new table as added for each statement execute function public.count_usage();
  end if;
end $$;

alter table public.usage_days enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.usage_days from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.count_usage() from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
