// SPDX-License-Identifier: GPL-2.0-or-later
// Copyright (c) 2026, the vfio.host authors
/*
 * A driver of the vfio-pci-core family for the lab's tests, built in two forms.
 *
 * lab_edu_vfio is well-behaved: it declares QEMU's edu for VFIO only. The driver that it registers is not named as the module.
 * lab_greedy_vfio also declares the id of e1000e as an ordinary driver does: what is unbound when it comes, it takes.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#ifdef GREEDY
#define DRIVER "lab-greedy-vfio-pci"
#else
#define DRIVER "lab-edu-vfio-pci"
#endif

static int refuse;
module_param(refuse, int, 0644);
MODULE_PARM_DESC(refuse, "the errno that every probe fails with; 0: none");

static int lab_vfio_open_device(struct vfio_device *core)
{
	struct vfio_pci_core_device *vdev = container_of(core, struct vfio_pci_core_device, vdev);
	int ret = vfio_pci_core_enable(vdev);

	if (!ret)
		vfio_pci_core_finish_enable(vdev);
	return ret;
}

static const struct vfio_device_ops lab_vfio_ops = {
	.name = DRIVER,
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = lab_vfio_open_device,
	.close_device = vfio_pci_core_close_device,
	.ioctl = vfio_pci_core_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
};

static int lab_vfio_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vfio_pci_core_device *vdev;
	int ret;

	if (refuse)
		return -refuse;
	vdev = vfio_alloc_device(vfio_pci_core_device, vdev, &pdev->dev, &lab_vfio_ops);
	if (IS_ERR(vdev))
		return PTR_ERR(vdev);
	dev_set_drvdata(&pdev->dev, vdev);
	ret = vfio_pci_core_register_device(vdev);
	if (ret)
		vfio_put_device(&vdev->vdev);
	return ret;
}

static void lab_vfio_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(vdev);
	vfio_put_device(&vdev->vdev);
}

static const struct pci_device_id lab_vfio_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(0x1234, 0x11e8) },	/* edu */
#ifdef GREEDY
	{ PCI_DEVICE(0x8086, 0x10d3) },				/* e1000e */
#endif
	{ }
};
MODULE_DEVICE_TABLE(pci, lab_vfio_ids);

static struct pci_driver lab_vfio_driver = {
	.name = DRIVER,
	.id_table = lab_vfio_ids,
	.probe = lab_vfio_probe,
	.remove = lab_vfio_remove,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(lab_vfio_driver);

MODULE_DESCRIPTION("vfio-pci-core driver for tests");
MODULE_AUTHOR("the vfio.host authors");
MODULE_LICENSE("GPL");
