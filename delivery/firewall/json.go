package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
)

// Coraza's own reader of JSON names each value by its whole path and refuses a
// body whose paths together outgrow it eightfold: an array of two hundred numbers
// in a profile's metadata already does. So the bodies are taken apart here: each
// string, the names of nested members included, is one argument under the name
// of the member of the outermost object that it belongs to (json_bio, json_links,
// json_metadata; with a dot, every member that begins with "profile" would look like
// the file .profile). The title of a link alone has a name of its own, since it is
// free text and the address beside it is not. Numbers and literals can hold no attack.
// A string that comes again under the same name is judged once.

// rawArgument is the name under which a body that is no JSON is judged, as it
// came. The API refuses it in any case.
const rawArgument = "json"

// linkTitle is the name of the text in {"links":[{"label":"…"}]}. No member can take
// it: theirs begin with json_.
const linkTitle = rawArgument + "-links-label"

// isJSON tells of the media types that the API reads as JSON.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// addJSON gives the strings of a body to the transaction.
func addJSON(tx types.Transaction, body []byte) {
	w := walker{dec: json.NewDecoder(bytes.NewReader(body)), seen: map[[2]string]bool{}}
	w.dec.UseNumber()
	if err := w.document(); err != nil {
		tx.AddPostRequestArgument(rawArgument, string(body))
	}
	for _, a := range w.list {
		// A name of its own for each: Coraza keeps what it has transformed by the address of the name and the place in
		// the list, and that list's order changes, so that with one name for all a rule would judge another one's value.
		tx.AddPostRequestArgument(strings.Clone(a[0]), a[1])
	}
}

// walker reads a document token by token, so that a member that is there twice is
// judged twice and depth costs no stack of ours.
type walker struct {
	dec  *json.Decoder
	list [][2]string // name and value, in their order
	seen map[[2]string]bool
}

// document reads all there is.
func (w *walker) document() error {
	name := rawArgument
	var open []frame
	for {
		token, err := w.dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		key := len(open) > 0 && open[len(open)-1].wantsKey
		switch t := token.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				open = open[:len(open)-1]
				break
			}
			if len(open) > 0 && open[len(open)-1].object {
				open[len(open)-1].wantsKey = true // when it is closed again
			}
			open = append(open, frame{object: t == '{', wantsKey: t == '{'})
			continue
		case string:
			switch {
			case key && len(open) == 1:
				name = rawArgument + "_" + t
				w.add(name, "")
			case key:
				open[len(open)-1].label = t == "label"
				w.add(name, t)
			case name == rawArgument+"_links" && titles(open):
				w.add(linkTitle, t)
			default:
				w.add(name, t)
			}
		}
		if len(open) > 0 && open[len(open)-1].object {
			_, closes := token.(json.Delim)
			open[len(open)-1].wantsKey = closes || !key
		}
	}
}

// frame is an object or array that is open.
type frame struct {
	object, wantsKey bool
	label            bool // the last key was label
}

// titles tells of the place of a link's title: in an object in a list in the document.
func titles(open []frame) bool {
	return len(open) == 3 && open[0].object && !open[1].object && open[2].object && open[2].label
}

func (w *walker) add(name, value string) {
	a := [2]string{name, value}
	if !w.seen[a] {
		w.seen[a] = true
		w.list = append(w.list, a)
	}
}
