package observations

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestScenarioNames(t *testing.T) {
	run := &Run{Namespaces: map[string]string{"ns1": "ns1-x7k2p", "ns10": "ns10-x7k2p", "same": "same"}}
	for text, want := range map[string]string{
		"":                                 "",
		"ns1-x7k2p":                        "ns1",
		"scale ns1-x7k2p/web to 3":         "scale ns1/web to 3",
		"ns10-x7k2p and ns1-x7k2p":         "ns10 and ns1",
		"outbound|80||web.ns1-x7k2p.svc":   "outbound|80||web.ns1.svc",
		"ns1-x7k2p-more, more-ns1-x7k2p":   "ns1-x7k2p-more, more-ns1-x7k2p",
		"ns1-x7k2pns1-x7k2p ns1-x7k2p":     "ns1-x7k2pns1-x7k2p ns1",
		"ns1-x7k2p,ns1-x7k2p":              "ns1,ns1",
		"the pod is called ns1_ns1-x7k2p":  "the pod is called ns1_ns1-x7k2p",
		"namespace ns1-x7k2p is not gone.": "namespace ns1 is not gone.",
	} {
		if got := run.ScenarioNames(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// Every kind of record that names a namespace or a workload is read with the scenario's
// names, and names of pods, nodes and files stay.
func TestRecordsInScenarioNames(t *testing.T) {
	const real = "ns1-x7k2p"
	run := &Run{Namespaces: map[string]string{"ns1": real}}
	record := Record{}
	all := reflect.ValueOf(&record).Elem()
	kinds := 0
	for i := range all.NumField() {
		f := all.Field(i)
		if all.Type().Field(i).Name == "Run" || f.Kind() != reflect.Pointer || f.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		f.Set(reflect.New(f.Type().Elem()))
		fill(f.Elem(), real)
		kinds++
	}
	if kinds < 15 {
		t.Fatalf("%d kinds of records", kinds)
	}
	run.inScenarioNames(&record)
	found := map[string]int{}
	check(t, found, "Record", "", reflect.ValueOf(record), real)
	for _, field := range []string{"Namespace", "Workload", "Detail", "Message", "Object", "Unmet", "Names", "Error", "Pod", "Path"} {
		if found[field] == 0 {
			t.Errorf("no record has a field %s: this test looks in the wrong place", field)
		}
	}
	if d := record.Proxy.Dumps["config_dump"]; d != "dumps/"+real+".json" {
		t.Errorf("the dump is %s", d)
	}
}

// fill sets all texts of a value to the name, in the form of the field.
func fill(v reflect.Value, real string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			switch {
			case !f.CanSet():
			case f.Kind() == reflect.String && slices.Contains([]string{"Workload", "Object"}, name):
				f.SetString(real + "/" + real)
			case name == "Dumps":
				f.Set(reflect.ValueOf(map[string]string{"config_dump": "dumps/" + real + ".json"}))
			default:
				fill(f, real)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), real)
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.String || k == reflect.Struct && v.Type().Elem() != v.Type() && v.Type().Elem().Name() != "Part" {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), real)
		}
	case reflect.String:
		v.SetString(real)
	}
}

// check compares what restoring left with what is wanted of each field.
func check(t *testing.T, found map[string]int, path, field string, v reflect.Value, real string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Run" {
				check(t, found, path+"."+f.Name, f.Name, v.Field(i), real)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			check(t, found, path, field, v.Elem(), real)
		}
	case reflect.Slice:
		for i := range v.Len() {
			check(t, found, path, field, v.Index(i), real)
		}
	case reflect.String:
		found[field]++
		want := "ns1"
		switch {
		case elsewhere[field]:
			want = real
		case field == "Workload" || field == "Object":
			want = "ns1/" + real
		}
		if v.String() != want {
			t.Errorf("%s is %q, want %q", path, v, want)
		}
	}
}

// A log is read with the scenario's names, and its first record has both.
func TestReadInScenarioNames(t *testing.T) {
	records, truncated, err := Read(strings.NewReader(`{"time":"2026-11-30T00:00:00Z","run":{"schema":1,"id":"r","scenario":"s","namespaces":{"ns1":"ns1-x7k2p"},"command":["--x","ns1-x7k2p"]}}
{"time":"2026-11-30T00:00:01Z","step":0,"action":{"name":"scale","detail":"scale ns1-x7k2p/web to 3","seconds":1}}
{"time":"2026-11-30T00:00:02Z","step":0,"usage":{"namespace":"ns1-x7k2p","pod":"web-1","container":"istio-proxy","workload":"ns1-x7k2p/web"}}
`))
	if err != nil || truncated || len(records) != 3 {
		t.Fatalf("%d records, %t, %v", len(records), truncated, err)
	}
	if r := records[0].Run; r.Namespaces["ns1"] != "ns1-x7k2p" || r.Command[1] != "ns1-x7k2p" {
		t.Errorf("%+v", r)
	}
	if d := records[1].Action.Detail; d != "scale ns1/web to 3" {
		t.Error(d)
	}
	if u := records[2].Usage; u.Namespace != "ns1" || u.Workload != "ns1/web" || u.Pod != "web-1" {
		t.Errorf("%+v", u)
	}
}
