-- Roles of the platform's identities in PostgreSQL. An administrator (the Entra group) runs this once an environment, in
-- the database postgres; running it again changes nothing.
--   psql "host=$POSTGRES_HOST dbname=postgres user=$ADMINISTRATORS_GROUP_NAME sslmode=require" \
--     -v web="$WEB_IDENTITY" -v code="$CODE_IDENTITY" -v run="$RUN_IDENTITY" -v reader="$READER_IDENTITY" -f roles.sql
\set ON_ERROR_STOP on

select pgaadauth_create_principal(name, false, false)
from unnest(array[:'web', :'code', :'run', :'reader']) as name
where name not in (select rolname from pg_roles);

\connect dagster

-- The tables belong to one role, whoever of its members is the first to start.
select 'create role dagster nologin' where not exists (select from pg_roles where rolname = 'dagster') \gexec
grant usage, create on schema public to dagster;
grant dagster to :"web", :"code", :"run";
alter role :"web" in database dagster set role dagster;
alter role :"code" in database dagster set role dagster;
alter role :"run" in database dagster set role dagster;
grant pg_read_all_data to :"reader";
