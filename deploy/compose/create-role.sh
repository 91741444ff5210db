# Run once by the postgres image, when it makes the database (sourced, so no
# options are changed here): the API's own role. It owns the one database and
# is no superuser, unlike the image's POSTGRES_USER.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
	--set=password="$(cat /run/secrets/database_password)" --set=database="$POSTGRES_DB" <<-'SQL'
	CREATE ROLE profile_api LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
	ALTER DATABASE :"database" OWNER TO profile_api;
	REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
	ALTER SCHEMA public OWNER TO profile_api;
SQL
