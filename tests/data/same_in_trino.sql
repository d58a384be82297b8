1/2, -7/2, 7 % -3, -7 % 3, i/2, i/CAST(2 AS double), 10/4, 5 % 3
SELECT sum(i)/count(*), avg(i), sum(i), count(*), count(n), min(ts), max(s) FROM t
SELECT max(s), count(*), sum(i) FROM t WHERE i > 5
1 = 1.0, 0.1 + 0.2, 1e0, 1.10, abs(-1.5), sign(-2), floor(-1.5), ceil(1.2), round(2.5), round(-2.5), truncate(-1.7), power(2, 3), sqrt(4), ln(1)
n = '', n IS NULL, n <> 'x', NOT (n = 'x'), n IN ('', NULL), n NOT IN ('x'), coalesce(n, 'none'), nullif(n, ''), NULL || 'a'
if(n IS NULL, 1), if(i > 1, 'a', NULL), CASE i WHEN 1 THEN 'a' ELSE 'b' END, CASE WHEN n = '' THEN 'empty' END
i IS DISTINCT FROM NULL, n IS NOT DISTINCT FROM NULL, 1 BETWEEN 0 AND 2, 'b' NOT BETWEEN 'c' AND 'd'
(1, 'a') < (1, 'b'), (i, s) = (1, 'Alpha'), (i, s) IN ((1, 'Alpha'))
greatest(1, 2), least(1, NULL), greatest('a', n), greatest(date '2026-01-01', date '2026-01-02')
try(CAST('x' AS integer)), try_cast(s AS integer), try_cast('12' AS bigint), CAST('12' AS integer), CAST(1.5 AS varchar), CAST(true AS varchar), CAST(i AS varchar) || 'x'
'it''s', U&'\0041', 'a\b', 'a' < 'B', 'ä' < 'z', '50%' LIKE '50\%', s LIKE '%a', s LIKE 'A_pha', 'a%b' LIKE 'a!%b' ESCAPE '!'
lower(s), upper(s), length(s), length('🤦🏼'), trim('  x '), ltrim('  a'), rtrim('a  '), trim(BOTH 'x' FROM 'xax'), substr(s, 2), substring(s, 2, 2), substr('abc', 9), reverse(s)
strpos(s, 'p'), position('p' IN s), replace(s, 'a', 'b'), replace('abc', 'b'), s || n, concat(s, n), concat_ws('-', s, n, 'x'), starts_with(s, 'A'), chr(8364), lpad('abc', 2, 'x'), rpad('a', 3, 'x'), levenshtein_distance('kitten', 'sitting')
split(s, 'a'), split('', ','), split('a,b', ',')[1], element_at(split('a,b', ','), 9)
regexp_like(s, '^A'), regexp_like(s, '(?i)LPHA'), regexp_extract(s, '([a-z]+)', 1), regexp_extract(s, 'zzz'), regexp_replace(s, '[a-z]', 'x'), regexp_replace(s, 'a'), regexp_extract_all(s, '[a-z]')
md5(to_utf8('a')), to_hex(sha256(to_utf8('a'))), to_base64(to_utf8('a')), from_utf8(to_utf8('é')), X'41' = to_utf8('A')
date '2026-01-01' + interval '1' day, date '2026-01-31' + interval '1' month, date '2026-01-31' - interval '1' month
CAST(date '2026-01-01' + interval '1' day AS varchar), CAST(date_add('day', -7, date '2026-01-08') AS varchar), CAST(date_trunc('month', date '2026-01-08') AS varchar), date_trunc('week', CAST(ts AS date))
CAST(current_date - interval '7' day AS varchar) = CAST(date_add('day', -7, current_date) AS varchar), current_date = CAST(current_timestamp AS date)
date_add('day', 1, ts), date_add('hour', 2, ts), ts + interval '36' hour, date_trunc('hour', ts), date_trunc('week', ts), date_trunc('quarter', ts)
date_diff('day', timestamp '2026-01-01 23:00:00', timestamp '2026-01-02 01:00:00'), date_diff('hour', timestamp '2026-01-01 23:50:00', timestamp '2026-01-02 01:00:00'), date_diff('day', ts, timestamp '2026-04-30 23:00:00.124')
date_diff('day', date '2026-01-01', date '2026-02-02'), date_diff('month', date '2026-01-31', date '2026-02-28'), date_diff('week', date '2026-01-01', date '2026-01-14'), date_diff('year', date '2024-02-29', date '2026-02-28')
CAST(ts AS date), CAST(CAST(ts AS date) AS varchar), date(ts), CAST('2026-05-01' AS date), CAST(date '2026-05-01' AS timestamp), try_cast('x' AS date), CAST(ts AS varchar)
date_format(ts, '%Y-%m-%d %H:%i:%s'), date_format(ts, '%W %a %b %e %k %l %p %j %y'), date_parse('2026-05-01 10:11:12', '%Y-%m-%d %H:%i:%s'), from_iso8601_timestamp('2026-05-01T10:00:00Z') < ts, to_unixtime(ts)
ts > timestamp '2026-05-01 23:00:00.122', ts = timestamp '2026-05-01 23:00:00.123', ts BETWEEN timestamp '2026-05-01 00:00' AND timestamp '2026-05-02 00:00', ts > current_timestamp - interval '7' day, ts AT TIME ZONE 'UTC' = ts
year(ts), quarter(ts), month(ts), week(ts), week(date '2027-01-01'), day(ts), hour(ts), minute(ts), second(ts), day_of_week(ts), dow(ts), day_of_year(ts), extract(year FROM ts), extract(second FROM ts), extract(week FROM ts)
json_extract_scalar(j, '$.q'), json_extract_scalar(j, '$.e'), json_extract_scalar(j, '$.big'), json_extract_scalar(j, '$.s'), json_extract_scalar(j, '$.n'), json_extract_scalar(j, '$.b'), json_extract_scalar(j, '$.nope')
json_extract_scalar(j, '$.o'), json_extract_scalar(j, '$.l'), json_extract_scalar(j, '$.l[1]'), json_extract_scalar(j, '$.l[9]'), json_extract_scalar(j, '$.o.a'), json_extract_scalar(j, '$["s"]'), json_extract_scalar('no JSON', '$.a'), json_extract_scalar('"x"', '$')
NOT json_extract_scalar(j, '$.q') = '1.10', json_extract_scalar(j, '$.q') LIKE '1%', json_extract_scalar(j, '$.q') IN ('1.10'), CAST(json_extract_scalar(j, '$.l[0]') AS integer) + 1
json_format(json_extract(j, '$.o')), json_array_length(json_extract(j, '$.l')), json_array_length(j), CAST(json_extract(j, '$.l') AS array(varchar)), json_parse(j) IS NULL
SELECT approx_distinct(s), count(DISTINCT s), count_if(i = 1), bool_and(i > 0), bool_or(i > 1), max_by(s, i), min_by(n, i), arbitrary(1) FROM t
SELECT array_agg(s ORDER BY i DESC), array_agg(n ORDER BY i), listagg(s, ',') WITHIN GROUP (ORDER BY i), count(*) FILTER (WHERE i > 1), sum(i) FILTER (WHERE false), stddev(i), variance(i) FROM t
SELECT s, row_number() OVER (PARTITION BY n ORDER BY i), rank() OVER (ORDER BY i), lag(s) OVER (ORDER BY i), lead(s) OVER (ORDER BY i), first_value(s) OVER (ORDER BY i), sum(i) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), count(*) OVER () FROM t ORDER BY i
SELECT n, count(*) FROM t GROUP BY n ORDER BY n
SELECT n, count(*) FROM t GROUP BY n ORDER BY n DESC
SELECT n, s, count(*) FROM t GROUP BY ROLLUP (n, s) ORDER BY 1, 2, 3
SELECT s, i, count(*) FROM t GROUP BY GROUPING SETS ((s), (i)) ORDER BY s, i
SELECT lower(s) AS s, count(*) FROM (VALUES ('A'), ('a')) AS x(s) GROUP BY s ORDER BY 1, 2
SELECT s FROM t GROUP BY s HAVING count(*) > 0 ORDER BY max(i) DESC
SELECT DISTINCT n FROM t ORDER BY n NULLS FIRST
SELECT s FROM t ORDER BY i OFFSET 1 LIMIT 1
SELECT s FROM t ORDER BY i OFFSET 1 ROWS FETCH FIRST 1 ROW ONLY
SELECT i FROM t UNION SELECT 5 ORDER BY 1
SELECT i FROM t EXCEPT SELECT 1
SELECT i FROM t INTERSECT SELECT 1
SELECT s FROM t WHERE i IN (SELECT max(i) FROM t) AND EXISTS (SELECT 1) AND 2 > ALL (SELECT 1) AND 1 = ANY (SELECT 1)
SELECT a.s, b.z FROM (VALUES ('x', 1)) AS a(s, k) LEFT JOIN (VALUES ('y', 2)) AS b(z, k) ON a.k = b.k
SELECT k, s FROM (VALUES ('x', 1)) AS a(s, k) JOIN (VALUES ('y', 1)) AS b(z, k) USING (k)
WITH r AS (SELECT i, s FROM t), q AS (SELECT i FROM r WHERE i > 1) SELECT r.s FROM r JOIN q ON q.i = r.i
WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 3) SELECT x FROM r ORDER BY x
SELECT s, x, o FROM t CROSS JOIN UNNEST(split(s, 'a')) WITH ORDINALITY AS u(x, o) ORDER BY i, o
SELECT x FROM UNNEST(sequence(1, 3)) AS u(x)
cardinality(array[1, 2]), array[1, 2][1], element_at(array[1, 2], 3), contains(array[1, 2], 2), array_join(array['a', NULL, 'b'], ','), array_sort(array[2, NULL, 1]), flatten(array[array[1], array[2]]), sequence(3, 1, -1)
transform(array[1, 2], x -> x + 1), filter(array[1, 2], x -> x > 1), element_at(map(array['a'], array[1]), 'b'), map_keys(map(array['a'], array[1])), map(array['a'], array[1])['a']
VALUES (1, 'a'), (2, 'b')
i > 1 OR s = 'Alpha', n IS NULL AND (i = 1 OR i = 5), localtimestamp IS NOT NULL, from_unixtime(1700000000) = timestamp '2023-11-14 22:13:20 UTC'
SELECT dense_rank() OVER (ORDER BY n), last_value(s) OVER (ORDER BY i), last_value(s) OVER (PARTITION BY 1 ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t ORDER BY i
