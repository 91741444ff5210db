package domain

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// maxCursor bounds what is worth deciphering; ours have about 300 characters.
const maxCursor = 2048

// Cursors makes and reads the cursors of lists. A cursor is sealed, so a client
// can neither read, change nor forge one, and it holds for one list with one
// filter: elsewhere it would skip or repeat rows in silence.
type Cursors struct{ sealer Sealer }

// NewCursors makes cursors that the sealer signs.
func NewCursors(sealer Sealer) Cursors { return Cursors{sealer} }

type cursorContent struct {
	Filter   string          `json:"f"` // fingerprint
	Position json.RawMessage `json:"p"`
}

// Seal makes the cursor of a position in the list under the filter.
func (c Cursors) Seal(list string, filter, position any) (string, error) {
	filterPrint, err := fingerprint(filter)
	if err != nil {
		return "", err
	}
	at, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("encode a position: %w", err)
	}
	content, err := json.Marshal(cursorContent{filterPrint, at})
	if err != nil {
		return "", fmt.Errorf("encode a cursor: %w", err)
	}
	return c.sealer.Seal("cursor "+list, content)
}

// Open reads a cursor of that list and filter into position, a pointer. Any
// other cursor is an error of kind [Malformed].
func (c Cursors) Open(list string, filter any, cursor string, position any) error {
	if len(cursor) > maxCursor {
		return errBadCursor
	}
	content, err := c.sealer.Open("cursor "+list, cursor)
	if err != nil {
		return errBadCursor.WithCause(err)
	}
	filterPrint, err := fingerprint(filter)
	if err != nil {
		return err
	}
	var read cursorContent
	if err := json.Unmarshal(content, &read); err != nil {
		return errBadCursor.WithCause(err)
	}
	if read.Filter != filterPrint {
		return errBadCursor
	}
	if err := json.Unmarshal(read.Position, position); err != nil {
		return errBadCursor.WithCause(err)
	}
	return nil
}

var errBadCursor = NewError(Malformed, CodeMalformedRequest,
	"The cursor is not one that this list gave out for these filters. Begin again without a cursor.")

func fingerprint(filter any) (string, error) {
	b, err := json.Marshal(filter)
	if err != nil {
		return "", fmt.Errorf("encode a filter: %w", err)
	}
	sum := sha256.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:16]), nil
}
