-- Shmastra Cloud, schema 007: a new user is told of like a changed one, so that his key is known at once.
-- Safe to paste by hand into a Supabase SQL editor and safe to run again.

create or replace trigger users_notify after insert or update or delete on public.users
  for each row execute function public.notify_user();
