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
	survey := scan.Survey{}
	for _, o := range e.Objects {
		survey.Add(nameOf(o, ""), "")
		spec, _ := o.PodSpec()
		if spec == nil {
			continue
		}
		for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for _, c := range spec.List(list) {
				survey.Add(nameOf(o, c.String("name")), "")
			}
		}
	}
	return survey, nil
}

// nameOf is the name of an object, or of a container in it, as findings tell it.
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
