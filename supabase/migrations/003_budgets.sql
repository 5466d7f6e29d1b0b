-- Shmastra Cloud, schema 003: budgets and limits. Safe to paste by hand into a Supabase SQL editor and safe to run again.
--
-- An owner is a user's id, the organization (all zeros) or, for limits only, everyone without a limit of his own (all ones).
-- At every instant, for every owner and period: spent_usd + what slices hold <= the budget, but for what a call cost
-- beyond its reservation and for a budget that was lowered.

create table if not exists public.budget_limits (
  owner uuid primary key,
  user_id uuid references public.users (id) on delete cascade,
  -- null: what applies to everyone; -1: no limit, whatever applies to everyone
  usd_per_day numeric(16, 8) check (usd_per_day >= 0 or usd_per_day = -1),
  usd_per_month numeric(16, 8) check (usd_per_month >= 0 or usd_per_month = -1),
  requests_per_minute integer check (requests_per_minute >= -1),
  tokens_per_minute integer check (tokens_per_minute >= -1),
  streams integer check (streams >= -1),
  changed_at timestamptz not null default now(),
  check (case when owner in ('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
         then user_id is null else user_id is not null and user_id = owner end)
);
create index if not exists budget_limits_user on public.budget_limits (user_id);

-- What was settled: the sum of cost_usd of the usage rows of a period, raised in the transaction that inserts them.
create table if not exists public.budget_accounts (
  owner uuid not null,
  period text not null check (period in ('day', 'month')),
  starts date not null,
  spent_usd numeric(16, 8) not null default 0,
  primary key (owner, period, starts)
);

-- What a process may spend without asking: its reservations, and what it has not written yet, are in there.
-- Past expires_at its process is gone. The slice stays held: what it had spent is not known.
create table if not exists public.budget_slices (
  id uuid primary key,
  owner uuid not null,
  day date not null,
  holder uuid not null,
  held_usd numeric(16, 8) not null check (held_usd >= 0),
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create index if not exists budget_slices_owner on public.budget_slices (owner, day);
create index if not exists budget_slices_holder on public.budget_slices (holder);

-- What was handed out of the running minute.
create table if not exists public.rate_windows (
  owner uuid not null,
  kind text not null check (kind in ('requests', 'tokens')),
  minute timestamptz not null,
  taken bigint not null,
  primary key (owner, kind)
);

-- How many streams a process may have open at once; past expires_at they count no more.
create table if not exists public.stream_slots (
  owner uuid not null,
  holder uuid not null,
  held integer not null check (held >= 0),
  expires_at timestamptz not null,
  primary key (owner, holder)
);

insert into public.budget_accounts (owner, period, starts, spent_usd)
  select o.owner, p.period, p.starts, sum(e.cost_usd)
  from public.usage_events e
  cross join lateral (values ('00000000-0000-0000-0000-000000000000'::uuid), (e.user_id)) o (owner)
  cross join lateral (values
    ('day', (e.created_at at time zone 'utc')::date),
    ('month', date_trunc('month', e.created_at at time zone 'utc')::date)) p (period, starts)
  where o.owner is not null and e.cost_usd is not null
  group by 1, 2, 3
on conflict do nothing;

-- The limits in force: a user's own, else everyone's; null where there is none.
create or replace function public.limits_of(account uuid)
returns table (usd_per_day numeric, usd_per_month numeric, requests_per_minute integer, tokens_per_minute integer,
  streams integer)
language sql stable set search_path = '' as $$
  select nullif(coalesce(own.usd_per_day, everyone.usd_per_day), -1),
    nullif(coalesce(own.usd_per_month, everyone.usd_per_month), -1),
    nullif(coalesce(own.requests_per_minute, everyone.requests_per_minute), -1),
    nullif(coalesce(own.tokens_per_minute, everyone.tokens_per_minute), -1),
    nullif(coalesce(own.streams, everyone.streams), -1)
  from (select 1) one
  left join public.budget_limits own on own.owner = account
  left join public.budget_limits everyone on everyone.owner = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    and account <> '00000000-0000-0000-0000-000000000000'
$$;

-- Takes money out of a budget into a slice of one process, in one step for day and month: `need`, or what is left of it if
-- that is `least`, else nothing; with room, 1 % of the budget at once, at most 0.25 USD and a quarter of what is left.
create or replace function public.lease_budget(
  slice uuid, account uuid, process uuid, on_day date, need numeric, least_need numeric, seconds integer)
returns table (granted numeric, there boolean, others numeric, day_limit numeric, day_spent numeric, day_held numeric,
  month_limit numeric, month_spent numeric, month_held numeric)
language plpgsql set search_path = '' as $$
declare
  first_day date := date_trunc('month', on_day)::date;
  room numeric;
begin
  insert into public.budget_accounts (owner, period, starts)
    values (account, 'day', on_day), (account, 'month', first_day) on conflict do nothing;
  perform from public.budget_accounts a
    where a.owner = account and (a.period, a.starts) in (('day', on_day), ('month', first_day))
    order by a.period for update;
  select l.usd_per_day, l.usd_per_month into day_limit, month_limit from public.limits_of(account) l;
  select a.spent_usd into day_spent from public.budget_accounts a
    where a.owner = account and a.period = 'day' and a.starts = on_day;
  select a.spent_usd into month_spent from public.budget_accounts a
    where a.owner = account and a.period = 'month' and a.starts = first_day;
  select coalesce(sum(s.held_usd) filter (where s.day = on_day), 0), coalesce(sum(s.held_usd), 0),
      coalesce(sum(s.held_usd) filter (where s.holder <> process and s.expires_at > now()), 0)
    into day_held, month_held, others from public.budget_slices s
    where s.owner = account and s.day >= first_day and s.day < (first_day + interval '1 month')::date;
  room := least(day_limit - day_spent - day_held, month_limit - month_spent - month_held);  -- null without a budget
  granted := case
    when room is null then need
    when room <= 0 then 0
    when room >= need then greatest(need, trunc(least(0.25, least(day_limit, month_limit) / 100, room / 4), 8))
    when room >= least_need then room
    else 0 end;
  update public.budget_slices set held_usd = held_usd + granted,
      expires_at = clock_timestamp() + make_interval(secs => seconds) where id = slice;
  there := found;
  if not there and granted > 0 then
    insert into public.budget_slices (id, owner, day, holder, held_usd, expires_at)
      values (slice, account, on_day, process, granted, clock_timestamp() + make_interval(secs => seconds));
  end if;
  day_held := day_held + granted;
  month_held := month_held + granted;
  if granted < need and others > 0 then
    perform pg_notify('budget_recall', account::text);
  end if;
  return next;
end $$;

-- Takes requests or tokens out of the running minute, by this server's clock: `need` or nothing, with room a part of what is
-- left at once. `owed` is what was used already: it is taken in any case.
create or replace function public.lease_rate(account uuid, what text, need bigint, owed bigint)
returns table (granted bigint, most bigint, seconds double precision)
language plpgsql set search_path = '' as $$
declare
  this_minute timestamptz := date_trunc('minute', clock_timestamp());
  used bigint;
begin
  insert into public.rate_windows as w (owner, kind, minute, taken) values (account, what, this_minute, owed)
  on conflict (owner, kind) do update set minute = greatest(w.minute, excluded.minute),
    taken = excluded.taken + case when w.minute >= excluded.minute then w.taken else 0 end
  returning w.taken, w.minute into used, this_minute;
  select case what when 'requests' then l.requests_per_minute else l.tokens_per_minute end into most
    from public.limits_of(account) l;
  granted := case
    when most is null then need
    when most - used >= need then greatest(need, least(most / 16, (most - used) / 4))
    else 0 end;
  if granted > 0 then
    update public.rate_windows set taken = taken + granted where owner = account and kind = what;
  end if;
  seconds := extract(epoch from this_minute + interval '1 minute' - clock_timestamp());
  return next;
end $$;

-- Sets how many streams a process may have open: `wanted`, or as many as other processes leave.
create or replace function public.lease_streams(account uuid, process uuid, wanted integer, seconds integer)
returns table (granted integer, most integer)
language plpgsql set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('streams ' || account::text, 0));
  delete from public.stream_slots s where s.owner = account and s.expires_at <= now();
  select l.streams into most from public.limits_of(account) l;
  select greatest(0, least(wanted, most - coalesce(sum(s.held), 0)))::integer into granted
    from public.stream_slots s where s.owner = account and s.holder <> process;
  if granted = 0 then
    delete from public.stream_slots s where s.owner = account and s.holder = process;
  else
    insert into public.stream_slots (owner, holder, held, expires_at)
      values (account, process, granted, now() + make_interval(secs => seconds))
    on conflict (owner, holder) do update set held = excluded.held, expires_at = excluded.expires_at;
  end if;
  return next;
end $$;

create or replace function public.notify_budget() returns trigger language plpgsql set search_path = '' as $$
begin
  perform pg_notify('budget', coalesce(new.owner, old.owner)::text);
  return null;
end $$;
create or replace trigger budget_limits_notify after insert or update or delete on public.budget_limits
  for each row execute function public.notify_budget();

alter table public.budget_limits enable row level security;
alter table public.budget_accounts enable row level security;
alter table public.budget_slices enable row level security;
alter table public.rate_windows enable row level security;
alter table public.stream_slots enable row level security;

do $$
declare grantee text;
begin
  foreach grantee in array array['public', 'anon', 'authenticated'] loop
    if grantee = 'public' or exists (select from pg_roles where rolname = grantee) then
      execute format('revoke all on public.budget_limits, public.budget_accounts, public.budget_slices,'
        ' public.rate_windows, public.stream_slots from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
      execute format('revoke all on function public.limits_of(uuid), public.notify_budget(),'
        ' public.lease_budget(uuid, uuid, uuid, date, numeric, numeric, integer),'
        ' public.lease_rate(uuid, text, bigint, bigint), public.lease_streams(uuid, uuid, integer, integer) from %s',
        case grantee when 'public' then 'public' else quote_ident(grantee) end);
    end if;
  end loop;
end $$;
