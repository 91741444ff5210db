# Run once by the postgres image, when it makes the database (sourced, so no
# options are changed here). profile_api owns the one database, is no superuser,
# unlike the image's POSTGRES_USER, and is whom `migrate` logs in as. The API is
# profile_api_a, who owns nothing: see deploy/database/roles.sql. For a database
# from before there were two: the README says what to run.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
	--set=password="$(cat /run/secrets/database_password)" --set=database="$POSTGRES_DB" <<-'SQL'
	CREATE ROLE profile_api LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
	ALTER DATABASE :"database" OWNER TO profile_api;
	ALTER SCHEMA public OWNER TO profile_api;
SQL
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
	--file=/usr/local/share/profile-api/roles.sql
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
	--set=password="$(cat /run/secrets/app_database_password)" <<-'SQL'
	ALTER ROLE profile_api_a LOGIN PASSWORD :'password';
SQL
