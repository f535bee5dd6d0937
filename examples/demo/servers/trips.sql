CREATE TABLE person (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE expense (
    id INTEGER PRIMARY KEY,
    what TEXT NOT NULL,
    paid_by INTEGER NOT NULL REFERENCES person (id),
    cents INTEGER NOT NULL CHECK (cents > 0),
    kind TEXT NOT NULL DEFAULT 'other' CHECK (kind IN ('flat', 'food', 'car', 'other'))
);

CREATE VIEW paid AS
SELECT person.name, count(*) AS expenses, sum(expense.cents) AS cents
FROM expense JOIN person ON person.id = expense.paid_by
GROUP BY person.id;

INSERT INTO person (name) VALUES ('Ana'), ('Ben'), ('Cleo'), ('Dan');

INSERT INTO expense (what, paid_by, cents, kind) VALUES
    ('Flat in Alfama', 1, 68000, 'flat'),
    ('Car for a day', 2, 9200, 'car'),
    ('Grilled sardines', 3, 7600, 'food'),
    ('Tram and ferry', 4, 3150, 'other');
