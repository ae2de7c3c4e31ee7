package kubernetes

import (
	"context"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: objects, and the containers of their pods.
func (s scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	e, err := kubernetes.Load(ctx, tree, kubernetes.Options{Renderer: s.renderer, ObjectsOnly: true})
	if err != nil {
		return nil, err
	}
	survey, tied := scan.Survey{}, tiedNames(e.Objects)
	for _, o := range e.Objects {
		survey.Add(objectName(o, "", tied), "")
		spec, _ := o.PodSpec()
		if spec == nil {
			continue
		}
		for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for _, c := range spec.List(list) {
				survey.Add(objectName(o, c.String("name"), tied), "")
			}
		}
	}
	return survey, nil
}

// tiedNames lists the names of objects that several overlays, releases or files bring.
func tiedNames(objects []*kubernetes.Object) map[string]bool {
	unit, tied := map[string]string{}, map[string]bool{}
	for _, o := range objects {
		name := nameOf(o, "")
		first, known := unit[name]
		if !known {
			unit[name] = o.Unit
		} else if first != o.Unit {
			tied[name] = true
		}
	}
	return tied
}

// objectName is the name of an object, or of a container in it, as findings tell it:
// with the overlay or release that brings it behind, in brackets, where the name alone
// does not tell it from another.
func objectName(o *kubernetes.Object, container string, tied map[string]bool) string {
	name := nameOf(o, container)
	if o.Unit != "" && tied[nameOf(o, "")] {
		name += " (" + o.Unit + ")"
	}
	return name
}

// nameOf is the name of an object, or of a container in it.
func nameOf(o *kubernetes.Object, container string) string {
	object := o.Kind
	if group := o.Group(); group != "" {
		object += "." + group
	}
	object += "/" + o.Name
	if o.Namespace != "" {
		object = o.Namespace + "/" + object
	}
	if container != "" {
		object += "#" + container
	}
	return object
}
