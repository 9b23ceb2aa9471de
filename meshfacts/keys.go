package meshfacts

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Keys is a value of a chart: what it must be, or, for a table whose keys are known, the
// values below it.
type Keys struct {
	// Type is "" for a table with the keys of Below, else one of the constants.
	Type string
	// Below are the values of a table whose keys are known, by their keys.
	Below map[string]Keys
}

// Types of values.
const (
	Any    = "any"    // anything
	Table  = "table"  // a table with any keys
	List   = "list"   // a list
	Text   = "text"   // a text, or a number or truth value that is written like one
	Number = "number" // a number, or a text that is written like one
	Truth  = "truth"  // true or false: templates take any text for true, "false" too
)

// MarshalJSON writes a type as its word and a table as an object.
func (k Keys) MarshalJSON() ([]byte, error) {
	if k.Type != "" {
		return json.Marshal(k.Type)
	}
	return json.Marshal(k.Below)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *Keys) UnmarshalJSON(text []byte) error {
	*k = Keys{}
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &k.Type)
	}
	if err := json.Unmarshal(text, &k.Below); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

// at returns the value at a path of keys; known is false if there is none. Below a value
// that may be anything, or a table with any keys, there may be anything.
func (k Keys) at(path ...string) (value Keys, known bool) {
	for _, key := range path {
		if k.Type == Any || k.Type == Table || k.Type == List {
			return Keys{Type: Any}, true
		}
		below, ok := k.Below[key]
		if !ok {
			return Keys{}, false
		}
		k = below
	}
	return k, true
}

// with returns a table with the values of both; other's win.
func (k Keys) with(other Keys) Keys {
	if k.Type != "" || other.Type != "" {
		return other
	}
	below := maps.Clone(k.Below)
	for key, value := range other.Below {
		if mine, ok := below[key]; ok {
			value = mine.with(value)
		}
		below[key] = value
	}
	return Keys{Below: below}
}
